//! TODO: membership
