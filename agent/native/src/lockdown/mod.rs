//! Lock-down of a worker or compiler: gives up every right that a guest's process does not need.
//!
//! The parts, in the order they are applied (each file says why it stands where it does):
//! descriptors, environment, rlimits, capabilities, parent death, dumpable, no-new-privs, Landlock, seccomp.
//! Seccomp comes last because every earlier part makes system calls that it denies.
//!
//! A part that the kernel lacks is reported as `off: <reason>` and the next one is tried: which parts are demanded is
//! the caller's policy, not this module's. Only a wrong argument, or a second call, raises `LockdownError`, and then
//! nothing has been changed.

mod capabilities;
mod descriptors;
mod environment;
mod filter;
mod landlock;
mod posture;
mod process;
mod rlimits;
mod role;
mod rules;
mod seccomp;
mod syscalls;

use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyType};

use posture::{Part, Posture};
use role::Role;

use crate::watchdog;

/// Set by the first call: there is no way back, and a second call would only find its own denials.
static LOCKED: AtomicBool = AtomicBool::new(false);

/// Adds `lockdown` and `posture` to the native module.
pub fn register(m: &Bound<'_, PyModule>) -> PyResult<()> {
    m.add_function(wrap_pyfunction!(lockdown, m)?)?;
    m.add_function(wrap_pyfunction!(seal, m)?)?;
    m.add_function(wrap_pyfunction!(posture_of_this_kernel, m)?)
}

/// See `_wasmer.pyi`. The GIL is kept: no other Python thread may run half locked down.
#[pyfunction]
#[pyo3(signature = (role, *, address_space_bytes = 0, cpu_seconds = 0, keep_fds = Vec::new()))]
fn lockdown<'py>(
    py: Python<'py>,
    role: &str,
    address_space_bytes: u64,
    cpu_seconds: u64,
    keep_fds: Vec<i32>,
) -> PyResult<Bound<'py, PyDict>> {
    let role = Role::parse(role).map_err(|message| error(py, &message))?;
    descriptors::check(&keep_fds).map_err(|message| error(py, &message))?;
    if LOCKED.swap(true, Ordering::SeqCst) {
        return Err(error(py, "this process is locked down already: call lockdown() once, at its start"));
    }
    // Counted before /proc is out of reach. Parts that the kernel applies to one thread only say so when there are more.
    let siblings = process::sibling_threads();
    let mut posture = Posture::default();
    posture.record(Part::Descriptors, descriptors::close_others(&keep_fds));
    posture.record(Part::Environment, environment::empty());
    posture.record(Part::Rlimits, rlimits::apply(address_space_bytes, cpu_seconds));
    posture.record(Part::Capabilities, capabilities::drop_all(siblings));
    posture.record(Part::ParentDeath, process::die_with_parent());
    posture.record(Part::Undumpable, process::forbid_dumps());
    posture.record(Part::NoNewPrivs, process::no_new_privs());
    posture.record(Part::Landlock, landlock::restrict(siblings));
    posture.record(Part::Seccomp, seccomp::install(role));
    posture.to_dict(py)
}

/// See `_wasmer.pyi`.
#[pyfunction]
fn seal() -> String {
    let started = watchdog::start().map(|_| ()).map_err(|fault| fault.message);
    started.and_then(|()| seccomp::seal()).unwrap_or_else(|reason| format!("off: {reason}"))
}

/// See `_wasmer.pyi`.
#[pyfunction]
#[pyo3(name = "posture")]
fn posture_of_this_kernel(py: Python<'_>) -> PyResult<Bound<'_, PyDict>> {
    let mut posture = Posture::default();
    posture.record(Part::Descriptors, descriptors::probe());
    posture.record(Part::Environment, Ok(posture::ON.into()));
    posture.record(Part::Rlimits, rlimits::probe());
    posture.record(Part::Capabilities, capabilities::probe());
    posture.record(Part::ParentDeath, process::probe(libc::PR_GET_PDEATHSIG));
    posture.record(Part::Undumpable, process::probe(libc::PR_GET_DUMPABLE));
    posture.record(Part::NoNewPrivs, process::probe(libc::PR_GET_NO_NEW_PRIVS));
    posture.record(Part::Landlock, landlock::probe());
    posture.record(Part::Seccomp, seccomp::probe());
    posture.to_dict(py)
}

/// `waspi.errors.LockdownError`, looked up here because it is the only error of this module.
fn error(py: Python<'_>, message: &str) -> PyErr {
    let class = py.import("waspi.errors").and_then(|module| module.getattr("LockdownError"));
    match class.and_then(|class| Ok(class.cast_into::<PyType>()?)) {
        Ok(class) => PyErr::from_type(class, (message.to_owned(),)),
        Err(error) => error,
    }
}
