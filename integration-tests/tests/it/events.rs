//! Events between two databases: order, repetition, delay, poison, parking, crashes, restarts.

mod batches;
mod crash;
mod desk;
mod flow;
mod metrics;
mod parking;
mod relay;
