"""Which formal languages a cell learns for longer strings than it was trained on."""
