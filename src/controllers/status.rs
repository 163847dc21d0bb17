//! Conditions of manifest objects.
