use pyo3::prelude::*;
#[pymodule]
fn _wasmer(_m: &Bound<'_, PyModule>) -> PyResult<()> { Ok(()) }
