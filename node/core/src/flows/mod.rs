//! TODO: flows
