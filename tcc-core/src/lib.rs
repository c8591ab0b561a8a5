//! Distributed transactions by try, confirm, cancel.
