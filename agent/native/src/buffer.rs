//! Bytes that Python lends.

use pyo3::buffer::PyBuffer;
use pyo3::exceptions::PyBufferError;
use pyo3::prelude::*;
use pyo3::types::PyBytes;

use crate::dialogue::Input;

/// A bytes-like object, held so that its memory stays where it is.
pub enum Lent<'py> {
    Bytes(Bound<'py, PyBytes>),
    Buffer(PyBuffer<u8>),
}

impl<'py> Lent<'py> {
    /// Any contiguous buffer of bytes; no copy is made.
    pub fn new(object: &Bound<'py, PyAny>) -> PyResult<Self> {
        if let Ok(bytes) = object.cast::<PyBytes>() {
            return Ok(Self::Bytes(bytes.clone()));
        }
        let buffer = PyBuffer::<u8>::get(object)?;
        if !buffer.is_c_contiguous() {
            return Err(PyBufferError::new_err("the buffer is not contiguous: copy it with bytes() first"));
        }
        Ok(Self::Buffer(buffer))
    }

    /// Address and length, for copying out without the GIL. Python may change a writable buffer meanwhile: then the
    /// guest gets a mixture, as it would from a concurrent `memcpy`.
    pub fn input(&self) -> Input {
        match self {
            Self::Bytes(bytes) => Input { address: bytes.as_bytes().as_ptr(), length: bytes.as_bytes().len() },
            Self::Buffer(buffer) => Input { address: buffer.buf_ptr().cast(), length: buffer.len_bytes() },
        }
    }

    /// The bytes for reading in place when nobody can change them, else a copy.
    pub fn stable(&self, py: Python<'_>) -> PyResult<std::borrow::Cow<'_, [u8]>> {
        Ok(match self {
            Self::Bytes(bytes) => bytes.as_bytes().into(),
            Self::Buffer(buffer) => buffer.to_vec(py)?.into(),
        })
    }
}
