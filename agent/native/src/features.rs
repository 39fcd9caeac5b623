//! Which WebAssembly features are on, and what is said about the others.

use wasmparser::{BinaryReaderError, FuncValidatorAllocations, Parser, ValidPayload, Validator, WasmFeatures};

use crate::fault::{Fault, Kind};

/// What rustc, clang, Zig, AssemblyScript and TinyGo emit by default, and SIMD, which costs nothing until it is used.
pub fn on() -> WasmFeatures {
    let on = WasmFeatures::MUTABLE_GLOBAL
        | WasmFeatures::SATURATING_FLOAT_TO_INT
        | WasmFeatures::SIGN_EXTENSION
        | WasmFeatures::MULTI_VALUE
        | WasmFeatures::BULK_MEMORY
        | WasmFeatures::REFERENCE_TYPES
        | WasmFeatures::GC_TYPES
        | WasmFeatures::FLOATS
        | WasmFeatures::EXTENDED_CONST;
    if cfg!(any(feature = "wasmi", target_pointer_width = "32")) { on } else { on | WasmFeatures::SIMD }
}

/// Everything else, by the name that its proposal has.
const OFF: [(WasmFeatures, &str); 17] = [
    (WasmFeatures::THREADS, "threads"),
    (WasmFeatures::MEMORY64, "memory64"),
    (WasmFeatures::MULTI_MEMORY, "multi-memory"),
    (WasmFeatures::EXCEPTIONS, "exceptions"),
    (WasmFeatures::LEGACY_EXCEPTIONS, "legacy exceptions"),
    (WasmFeatures::TAIL_CALL, "tail calls"),
    (WasmFeatures::SIMD, "SIMD"),
    (WasmFeatures::RELAXED_SIMD, "relaxed SIMD"),
    (WasmFeatures::FUNCTION_REFERENCES, "function references"),
    (WasmFeatures::GC.union(WasmFeatures::FUNCTION_REFERENCES), "garbage collection"),
    (WasmFeatures::CUSTOM_PAGE_SIZES, "custom page sizes"),
    (WasmFeatures::WIDE_ARITHMETIC, "wide arithmetic"),
    (WasmFeatures::STACK_SWITCHING.union(WasmFeatures::FUNCTION_REFERENCES), "stack switching"),
    (WasmFeatures::SHARED_EVERYTHING_THREADS.union(WasmFeatures::THREADS), "shared-everything threads"),
    (WasmFeatures::MEMORY_CONTROL, "memory control"),
    (WasmFeatures::COMPACT_IMPORTS, "compact imports"),
    (WasmFeatures::all(), "several features of newer WebAssembly"),
];

/// Whether `error` is about a feature that is off, and which; else the module is plainly invalid.
///
/// The module is validated once more for each feature that is off, up to the error and without the function bodies
/// before it: the feature that moves the error forward is the one the module needs. (One that only changes its words is not:
/// a byte that is nothing at all may be read as the beginning of something else.)
pub fn explain(wasm: &[u8], error: &BinaryReaderError) -> Fault {
    // What wasmparser says where its SIMD is not compiled in: with the interpreter alone.
    if error.message().starts_with("unexpected SIMD opcode") {
        return unsupported("SIMD").at(error.offset() as u64);
    }
    for (feature, name) in OFF {
        if on().contains(feature) {
            continue;
        }
        let found = error_near(wasm, on() | feature, error.offset());
        if found.is_none_or(|other| other.offset() > error.offset()) {
            return unsupported(name).at(error.offset() as u64);
        }
    }
    let offset = error.offset() as u64;
    Fault::new(
        Kind::InvalidModule,
        format!(
            "the module does not validate: {} (at byte {offset}); build it anew or fetch it again",
            error.message()
        ),
    )
    .at(offset)
}

/// The first error with these features in the sections up to `offset` and in the function body around it.
fn error_near(wasm: &[u8], features: WasmFeatures, offset: usize) -> Option<BinaryReaderError> {
    let mut parser = Parser::new(0);
    parser.set_features(features);
    let mut validator = Validator::new_with_features(features);
    let attempt = || {
        for payload in parser.parse_all(wasm) {
            let payload = payload?;
            if payload.as_section().is_some_and(|(_, range)| range.start > offset) {
                break;
            }
            if let ValidPayload::Func(function, body) = validator.payload(&payload)?
                && body.range().start <= offset
                && offset <= body.range().end
            {
                function.into_validator(FuncValidatorAllocations::default()).validate(&body)?;
            }
        }
        Ok(())
    };
    attempt().err()
}

/// The fault for a feature by name.
pub fn unsupported(name: &str) -> Fault {
    Fault::new(
        Kind::UnsupportedFeature,
        format!("the module needs {name}, which waspi has switched off: build it without"),
    )
}

/// Whether the bytes begin a component: layer 1 of the binary format (component model, "Binary.md").
pub fn is_component(wasm: &[u8]) -> bool {
    wasm.starts_with(b"\0asm") && wasm.get(6..8) == Some(&[1, 0])
}

/// The fault for a component, whatever is in it.
pub fn component() -> Fault {
    let message = "this is a component (the component model), waspi runs core modules: build for wasm32-wasip1 or \
                   wasm32-unknown-unknown, or without the step that wraps the core module";
    Fault::new(Kind::UnsupportedFeature, message)
}
