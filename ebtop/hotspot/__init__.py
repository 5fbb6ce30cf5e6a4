"""What HotSpot (the JVM of OpenJDK) tells of itself: its code cache and methods, read from outside.

libjvm.so exports tables of its own types and fields for the serviceability agent (jhsdb); what a field is called has
been the same since JDK 9 for nearly all that is read here, where it lies and how wide it is has not.
"""
