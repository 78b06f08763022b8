"""A small trained scorer of empathy: regression heads for NS, WA, EU and ES on what a frozen core makes of a
conversation and a reply. It takes no language model, and describes nothing in words."""
