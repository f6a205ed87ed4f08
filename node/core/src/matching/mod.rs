//! TODO: matching
