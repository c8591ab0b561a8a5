//! A trait among names that the user has taken for herself.
