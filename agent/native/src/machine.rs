//! Kinds of machines.

use std::collections::BTreeSet;

/// A kind of machine that native code is made for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    pub triple: String,
    /// Features of the processor: of a host, those that it has; of code, those that it may use.
    pub features: BTreeSet<String>,
}
