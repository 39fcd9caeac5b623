//! Artifacts without what a run never looks at.
//!
//! Cranelift's address map has an entry for every machine instruction, which makes an artifact two to three times as
//! long. A trap is looked up in it by its own address only; so the entries at the places that can trap are enough.

use wasmer_compiler::ArtifactBuild;
use wasmer_compiler::serialize::{MetadataHeader, SerializableModule};
use wasmer_compiler::types::function::CompiledFunctionFrameInfo;

/// Bytes of `Artifact::serialize` with a shorter address map; `None` when they do not look as expected.
pub fn slim(artifact: &[u8]) -> Option<Vec<u8>> {
    let head = ArtifactBuild::MAGIC_HEADER.len();
    let length = MetadataHeader::parse(artifact.get(head..)?).ok()?;
    let body = artifact.get(head + MetadataHeader::LEN..)?.get(..length)?;
    // SAFETY: the engine of this process made these bytes just now; their layout is checked besides.
    let mut module = unsafe { SerializableModule::deserialize(body) }.ok()?;
    module.compilation.function_frame_info.values_mut().for_each(keep_traps);
    let body = module.serialize().ok()?;
    let mut out = ArtifactBuild::MAGIC_HEADER.to_vec();
    out.extend(MetadataHeader::new(body.len()).into_bytes());
    out.extend(body);
    Some(out)
}

fn keep_traps(info: &mut CompiledFunctionFrameInfo) {
    let mut places: Vec<usize> = info.traps.iter().map(|trap| trap.code_offset as usize).collect();
    places.sort_unstable();
    info.address_map.instructions.retain(|entry| {
        let next = places.partition_point(|place| *place < entry.code_offset);
        places.get(next).is_some_and(|place| *place < entry.code_offset + entry.code_len)
    });
}
