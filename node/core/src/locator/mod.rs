//! TODO: locator
