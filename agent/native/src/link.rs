//! From a module's imports to the host's offers.

use crate::fault::{Fault, Kind};
use crate::host::{self, Offer};
use crate::shape::{Import, func_text};

/// The offer for one import.
pub fn offer(import: &Import) -> Result<&'static Offer, Fault> {
    let wanted = format!("{}.{}", import.module, import.name);
    let Some(signature) = &import.signature else {
        return Err(refuse(format!(
            "the module imports {wanted} ({}), but the host offers functions only: define it in the module and export it",
            import.kind
        )));
    };
    let Some(offer) = host::find(&import.module, &import.name) else {
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
    let names: Vec<_> = host::offers().filter(|offer| offer.module == module).map(|offer| offer.name).collect();
    match names.len() {
        0 => format!("the host offers functions of {} only", host::MODULES.join(" and ")),
        1..=8 => format!("of {module} the host offers {}", names.join(", ")),
        _ => format!("{module} has no such function"),
    }
}
