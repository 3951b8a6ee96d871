//! What lies under an error of a library: the errors that it was made from, down to the one that says why.

use std::error::Error as StdError;

/// The error and those under it. An `io::Error` hides the one it was made from, so that is asked for first.
pub(super) fn chain<'a>(
    error: &'a (dyn StdError + 'static),
) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&at| {
        let within = at.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        match within {
            Some(within) => Some(within as &(dyn StdError + 'static)),
            None => at.source(),
        }
    })
}

/// What the last of them says.
pub(super) fn deepest(error: &(dyn StdError + 'static)) -> String {
    chain(error).last().map_or_else(String::new, ToString::to_string)
}
