//! From a module's imports to the host's offers.

use crate::fault::{Fault, Kind};
use crate::host::Offer;
use crate::shape::{Import, func_text};
use crate::{assemblyscript, emscripten, guest_calls, wasi};

/// The offer for one import.
pub fn offer(import: &Import) -> Result<&'static Offer, Fault> {
    let wanted = format!("{}.{}", import.module, import.name);
    let Some(signature) = &import.signature else {
        return Err(refuse(format!(
            "the module imports {wanted} ({}), but the host offers functions only: define it in the module and export it",
            import.kind
        )));
    };
    let Some(offer) = find(&import.module, &import.name) else {
        return Err(refuse(format!("the module imports the unknown function {wanted}: {}", hint(&import.module))));
    };
    if offer.signature() != *signature {
        return Err(refuse(format!(
            "the module imports {wanted} as {}, the host's is {}: build it against the right header",
            import.kind,
            func_text(&offer.signature())
        )));
    }
    Ok(offer)
}

fn refuse(message: String) -> Fault {
    Fault::new(Kind::Link, message)
}

fn hint(module: &str) -> String {
    let names: Vec<_> = offers().filter(|offer| offer.module == module).map(|offer| offer.name).collect();
    match names.len() {
        0 => format!("the host offers functions of {} only", modules()),
        1..=8 => format!("of {module} the host offers {}", names.join(", ")),
        _ => format!("{module} has no such function"),
    }
}

/// The offer of that name.
fn find(module: &str, name: &str) -> Option<&'static Offer> {
    offers().find(|offer| offer.module == module && offer.name == name)
}

/// All offers.
fn offers() -> impl Iterator<Item = &'static Offer> {
    wasi::OFFERS
        .iter()
        .chain(assemblyscript::OFFERS.iter())
        .chain(emscripten::OFFERS.iter())
        .chain(guest_calls::OFFERS.iter())
}

/// Names of the modules that the host offers functions of.
fn modules() -> String {
    format!("{}, {} and {}", wasi::MODULE, assemblyscript::MODULE, guest_calls::MODULE)
}
