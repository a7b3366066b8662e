//! Sockets: listening, connecting, original destinations, and moving bytes in the kernel; and what
//! the system lets a process have.
//!
//! The only room where `unsafe` is allowed; each use is one operation with its proof.

mod alarm;
mod connect;
mod group;
mod listen;
mod memory;
mod splice;
mod thread;

pub use alarm::Alarm;
pub use connect::{ConnectFrom, Keepalive, connect, connect_unix};
pub use group::end_group;
pub use listen::{
    Accepting, Datagrams, SpareDescriptor, accept, accept_waiting, lacks_descriptor, listen,
    original_destination, receive, stop_listening,
};
pub use memory::{MemoryLimit, own_bytes, release_free_memory};
pub use splice::{Pipe, splice_out, try_splice_in};
pub use thread::waits_of_this_thread;
