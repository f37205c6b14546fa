"""Does each start of the poincare plugin do what its page says?"""
