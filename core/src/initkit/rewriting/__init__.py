"""Recipes applied to a checkpoint that stays on the disk: one tensor at a time, or a part of one."""
