"""What the rest is made of: values and decisions, without input or output, clock or chance."""
