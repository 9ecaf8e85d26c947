//! Addresses of this machine, by which others may reach it.

use std::net::IpAddr;

/// Addresses of the network interfaces that are up, without those for this machine alone and those that need
/// an interface's name beside them.
#[cfg(unix)]
pub fn addresses() -> Vec<IpAddr> {
    let mut list = std::ptr::null_mut();
    // SAFETY: a place for the list's address, which is read only if the call succeeded.
    if unsafe { libc::getifaddrs(&mut list) } != 0 {
        return Vec::new();
    }
    let mut found = Vec::new();
    let mut next = list.cast_const();
    // SAFETY: the list lives until it is freed below; its end is null.
    while let Some(interface) = unsafe { next.as_ref() } {
        next = interface.ifa_next;
        let is_up = interface.ifa_flags & libc::IFF_UP as libc::c_uint != 0;
        // SAFETY: an address of the list, or null.
        if let Some(address) = unsafe { address(interface.ifa_addr) }.filter(|_| is_up) {
            found.push(address);
        }
    }
    // SAFETY: the list that the system made, once.
    unsafe { libc::freeifaddrs(list) };
    let needs_name = |address: &IpAddr| match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    found.retain(|address| !address.is_loopback() && !address.is_unspecified() && !needs_name(address));
    // Of version 4 first: both ends have it where one of them lacks version 6.
    found.sort_by_key(IpAddr::is_ipv6);
    found
}

/// The address behind a pointer.
///
/// # Safety
/// The pointer is null or to an address as long as its family's.
#[cfg(unix)]
unsafe fn address(pointer: *const libc::sockaddr) -> Option<IpAddr> {
    // SAFETY: as the caller says.
    let family = i32::from(unsafe { pointer.as_ref() }?.sa_family);
    match family {
        libc::AF_INET => {
            // SAFETY: an address of this family; read without a claim about alignment.
            let address = unsafe { pointer.cast::<libc::sockaddr_in>().read_unaligned() };
            Some(IpAddr::from(address.sin_addr.s_addr.to_ne_bytes()))
        }
        libc::AF_INET6 => {
            // SAFETY: likewise.
            let address = unsafe { pointer.cast::<libc::sockaddr_in6>().read_unaligned() };
            Some(IpAddr::from(address.sin6_addr.s6_addr))
        }
        _ => None,
    }
}

/// Elsewhere no MPI is opened.
#[cfg(not(unix))]
pub fn addresses() -> Vec<IpAddr> {
    Vec::new()
}
