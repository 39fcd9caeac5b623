//! Which engine is in.

#[cfg(not(any(feature = "wasmi", target_pointer_width = "32")))]
pub use crate::wasmer_backend::Program as Compiled;
#[cfg(any(feature = "wasmi", target_pointer_width = "32"))]
pub use crate::wasmi_backend::Program as Compiled;
