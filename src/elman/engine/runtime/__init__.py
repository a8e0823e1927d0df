"""The native library: programs and tensors handed over, operators of torch around them."""
