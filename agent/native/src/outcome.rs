//! What a run gave.

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict};

use crate::report::{Report, Trace};

/// See `_wasmer.pyi`.
#[pyclass(frozen, module = "waspi._wasmer")]
pub struct Outcome {
    #[pyo3(get)]
    output: Py<PyBytes>,
    #[pyo3(get)]
    log: Py<PyBytes>,
    #[pyo3(get)]
    fuel: u64,
    #[pyo3(get)]
    memory_bytes: u64,
    #[pyo3(get)]
    run_us: u64,
    trace: Option<Box<Trace>>,
}

impl Outcome {
    /// The object for a run that has succeeded.
    pub fn of<'py>(py: Python<'py>, report: &Report, traced: bool) -> PyResult<Bound<'py, Self>> {
        let usage = &report.usage;
        let outcome = Self {
            output: PyBytes::new(py, &report.output).unbind(),
            log: PyBytes::new(py, &usage.log).unbind(),
            fuel: usage.fuel,
            memory_bytes: usage.memory_bytes,
            run_us: usage.run_us,
            trace: traced.then(|| Box::new(report.trace)),
        };
        Bound::new(py, outcome)
    }
}

#[pymethods]
impl Outcome {
    #[getter]
    fn trace<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(trace) = &self.trace else {
            return Ok(None);
        };
        let dict = PyDict::new(py);
        dict.set_item("pointer", trace.pointer)?;
        dict.set_item("input_size", trace.input_size)?;
        dict.set_item("buffer_size", trace.buffer_size)?;
        dict.set_item("memory_address", trace.memory_address)?;
        dict.set_item("buffer_address", trace.buffer_address)?;
        dict.set_item("new_size", trace.new_size)?;
        dict.set_item("result_pointer", trace.result_pointer)?;
        dict.set_item("memory_bytes", trace.memory_bytes)?;
        Ok(Some(dict))
    }

    fn __repr__(&self, py: Python<'_>) -> String {
        format!(
            "Outcome(output={} bytes, log={} bytes, fuel={}, memory_bytes={}, run_us={})",
            self.output.bind(py).as_bytes().len(),
            self.log.bind(py).as_bytes().len(),
            self.fuel,
            self.memory_bytes,
            self.run_us
        )
    }
}
