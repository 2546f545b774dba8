//! The bootstrap engine against the device's side of it, over an emulated network.

mod accounts;
mod by_hand;
mod crowd;
mod faults;
mod hostile;
mod pack;
mod pair;
mod plans;
mod registering;
mod sequence;
mod several;
mod streams;
