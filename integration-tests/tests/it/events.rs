//! Facts on their way from one database to another: order, repeats, delays, poison, parking, crashes, restarts.

mod crash;
mod desk;
mod flow;
mod parking;
mod relay;
