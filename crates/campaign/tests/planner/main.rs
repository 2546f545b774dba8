//! The planner, rule by rule, and whole campaigns with everything that can happen to one.

mod checking;
mod control;
mod deadline;
mod failing;
mod hostile;
mod limits;
mod reach;
mod release;
mod rig;
mod simulation;
mod throttle;
mod wake;
mod waves;
mod windows;
