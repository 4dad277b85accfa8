"""Write recovery points and look after them."""
