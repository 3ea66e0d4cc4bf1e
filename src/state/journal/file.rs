//! The journal in files.
