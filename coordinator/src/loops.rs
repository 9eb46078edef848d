//! What happens by itself: each loop has a period and the signal to stop, and looks at how things are when its
//! time comes. None takes hints.

pub(crate) mod counting;
pub(crate) mod forgetting;
pub(crate) mod keeping;
pub(crate) mod lease;
pub(crate) mod moving;
pub(crate) mod renewal;
pub(crate) mod scrub;
pub(crate) mod sweep;
pub(crate) mod waking;
