"""The door of the gnn plugin."""
