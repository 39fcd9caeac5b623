//! Faults become exceptions of `waspi.errors`.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyBytes, PyModule};

use crate::fault::{Fault, Kind, printable};
use crate::report::Usage;

/// The tree of errors, imported at the first failure: `waspi` itself imports this module.
static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// The exception for a fault outside a run.
pub fn raise(py: Python<'_>, fault: Fault) -> PyErr {
    build(py, &fault, None).unwrap_or_else(|error| error)
}

/// The exception for a fault that ended a run, with the run's log and usage.
pub fn raise_run(py: Python<'_>, fault: &Fault, usage: &Usage) -> PyErr {
    build(py, fault, Some(usage)).unwrap_or_else(|error| error)
}

fn build(py: Python<'_>, fault: &Fault, usage: Option<&Usage>) -> PyResult<PyErr> {
    let errors = ERRORS.get_or_try_init(py, || PyModule::import(py, "waspi.errors").map(Bound::unbind))?;
    let error = errors.bind(py).getattr(fault.kind.class())?.call1((printable(&fault.message),))?;
    if let Some(function) = &fault.function {
        error.setattr("function", printable(function))?;
    }
    if let Some(offset) = fault.offset {
        error.setattr("offset", offset)?;
    }
    if fault.kind == Kind::Exit {
        error.setattr("code", fault.code.unwrap_or(0))?;
    }
    if let Some(usage) = usage {
        error.setattr("log", PyBytes::new(py, &usage.log))?;
        error.setattr("fuel", usage.fuel)?;
        error.setattr("memory_bytes", usage.memory_bytes)?;
        error.setattr("run_us", usage.run_us)?;
    }
    Ok(PyErr::from_value(error))
}
