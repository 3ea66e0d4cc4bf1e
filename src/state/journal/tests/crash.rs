//! What a journal makes of what a crash, a fault or rot left on the disk.
