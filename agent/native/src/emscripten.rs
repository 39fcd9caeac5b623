//! What Emscripten's runtime imports in a standalone module (`-sSTANDALONE_WASM`) beside WASI.

use crate::host::Offer;

/// `emscripten_notify_memory_growth(memory)`: the host looks at the memory anew at each call anyway.
pub static OFFERS: [Offer; 1] =
    [Offer { module: "env", name: "emscripten_notify_memory_growth", params: "i", result: "", act: |_, _, _| Ok(0) }];
