"""Our patch protocols on processors that really run: an image that toggles a site while others pass it.

The image is for QEMU's virt machine with four processors. One of them carries out the operations of protocols that the
checker has proven, on the words that the engine plants; each pass of the others is held against what is promised. QEMU
forgets translated code at every store: this is evidence for our code and our promises, and none for the architecture's
rule (docs/patch-safety.md).
"""
