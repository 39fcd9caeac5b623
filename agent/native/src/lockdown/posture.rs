//! Which parts of the lock-down hold, as data for the caller's policy and for reported state.

use std::io;

use pyo3::prelude::*;
use pyo3::types::PyDict;

/// State of a part that holds.
pub const ON: &str = "on";

/// What became of a part: its state (`on`, or more detail such as `abi 7`), or why it is off.
pub type Outcome = Result<String, String>;

/// The parts, in the order they are applied; the names are keys of the policy's `require` list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Descriptors,
    Environment,
    Rlimits,
    Capabilities,
    ParentDeath,
    Undumpable,
    NoNewPrivs,
    Landlock,
    Seccomp,
}

impl Part {
    /// Key in the posture.
    const fn name(self) -> &'static str {
        match self {
            Self::Descriptors => "descriptors",
            Self::Environment => "environment",
            Self::Rlimits => "rlimits",
            Self::Capabilities => "capabilities",
            Self::ParentDeath => "parent_death",
            Self::Undumpable => "undumpable",
            Self::NoNewPrivs => "no_new_privs",
            Self::Landlock => "landlock",
            Self::Seccomp => "seccomp",
        }
    }
}

/// Outcome of each part, in order.
#[derive(Debug, Default)]
pub struct Posture(Vec<(Part, String)>);

impl Posture {
    /// Notes what became of a part.
    pub fn record(&mut self, part: Part, outcome: Outcome) {
        self.0.push((part, outcome.unwrap_or_else(|reason| format!("off: {reason}"))));
    }

    /// `{"seccomp": "on", ...}`.
    pub fn to_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (part, state) in &self.0 {
            dict.set_item(part.name(), state)?;
        }
        Ok(dict)
    }
}

/// The outcome of a C call that returned -1 on failure; `call` names it in the reason.
pub fn outcome(call: &str, result: libc::c_int) -> Outcome {
    if result == -1 { Err(failed(call)) } else { Ok(ON.into()) }
}

/// `call: message of errno`.
pub fn failed(call: &str) -> String {
    format!("{call}: {}", io::Error::last_os_error())
}
