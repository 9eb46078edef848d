//! How the C library's allocator keeps memory.

/// Has it keep few heaps. It makes eight for each processor otherwise, and what one thread has freed another does not
/// use: threads that hand buffers of a megabyte to one another held twice as much. To be called before there are
/// threads.
#[cfg_attr(
    all(target_os = "linux", target_env = "gnu"),
    expect(unsafe_code, reason = "a call of the C library that takes two numbers")
)]
pub fn few_arenas() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: it reads no memory of ours; an allocator that does not know the option says so and goes on as it is.
    let _known = unsafe { libc::mallopt(libc::M_ARENA_MAX, 2) };
}
