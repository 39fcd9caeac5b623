//! A module in the process: its code, its shape, and where it came from.

use std::time::{Duration, Instant};

use sha2::{Digest, Sha256};

use crate::artifact::Artifact;
use crate::bounds::Bounds;
use crate::engine::{Compiled, Program, link};
use crate::fault::{Fault, Kind};
use crate::shape::Shape;
use crate::strip::strip;
use crate::survey::survey;

pub struct Loaded {
    pub program: Compiled,
    pub shape: Shape,
    /// Of the bytes that `compile` was given, in hexadecimal digits.
    pub sha256: String,
    /// From offsets in the stripped module's code to offsets in the original.
    pub shift: u64,
    skeleton: Vec<u8>,
}

impl Loaded {
    /// Survey, link, strip and compile, in this order: nothing is compiled that could not run.
    pub fn compile(wasm: &[u8], bounds: &Bounds) -> Result<Self, Fault> {
        let deadline = Instant::now() + Duration::from_millis(bounds.compile_ms);
        survey(wasm, bounds)?;
        let read = |error: wasmparser::BinaryReaderError| Fault::new(Kind::InvalidModule, error.message());
        let shape = Shape::read(wasm).map_err(read)?;
        let imports = link(&shape)?;
        let skeleton = shape.skeleton(wasm).map_err(read)?;
        let stripped = strip(wasm).map_err(read)?;
        let program = compile(&stripped.wasm, imports, deadline)?;
        let sha256 = Sha256::digest(wasm).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Self { program, shape, sha256, shift: stripped.shift, skeleton })
    }

    pub fn load(bytes: &[u8]) -> Result<Self, Fault> {
        let artifact = Artifact::unpack(bytes)?;
        let skeleton = artifact.skeleton.to_vec();
        let shape = Shape::read(&skeleton)
            .map_err(|error| Fault::new(Kind::Artifact, format!("the artifact's skeleton is damaged: {error}")))?;
        let program = Compiled::load(artifact.code, link(&shape)?)?;
        Ok(Self { program, shape, sha256: artifact.sha256, shift: artifact.shift, skeleton })
    }

    pub fn serialize(&self) -> Result<Vec<u8>, Fault> {
        let code = self.program.serialize()?;
        let artifact =
            Artifact { sha256: self.sha256.clone(), shift: self.shift, skeleton: &self.skeleton, code: &code };
        Ok(artifact.pack())
    }
}

/// A compiler that panics has a bug, or met a module that was made for it to fail.
fn compile(wasm: &[u8], imports: Vec<&'static crate::host::Offer>, deadline: Instant) -> Result<Compiled, Fault> {
    crate::fault::guarded(|| Compiled::compile(wasm, imports, deadline)).map_err(|fault| match fault.kind {
        Kind::Internal => Fault { kind: Kind::Compile, ..fault },
        _ => fault,
    })
}
