//! Heads of requests and responses, one form for HTTP/1, HTTP/2 and what policy sees.

use crate::authority::Authority;
use crate::fields::Fields;
use crate::rejected::Rejected;
use crate::scan;

/// Longest method that is accepted; the longest registered one has 17 letters.
/// Source: IANA HTTP Method Registry (`UPDATEREDIRECTREF`).
pub(crate) const METHOD_BYTES: usize = 32;

/// Version of the protocol that a message came with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Version {
    /// HTTP/1.0
    Http10,
    /// HTTP/1.1
    Http11,
    /// HTTP/2
    Http2,
}

/// Scheme of the target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Scheme {
    /// Without TLS; port 80 unless given.
    Http,
    /// With TLS; port 443 unless given.
    Https,
}

/// Request method; a method is case-sensitive. Source: RFC 9110 §9.1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum Method {
    /// `GET`
    Get,
    /// `HEAD`
    Head,
    /// `POST`
    Post,
    /// `PUT`
    Put,
    /// `DELETE`
    Delete,
    /// `CONNECT`
    Connect,
    /// `OPTIONS`
    Options,
    /// `TRACE`
    Trace,
    /// `PATCH`
    Patch,
    /// Any other; [`RequestHead::method_bytes`] has its name.
    Other,
}

/// A request head.
///
/// The target is in origin form whatever form it came in: the authority and scheme stand apart,
/// and they are what routing, policy and logs see and what is forwarded.
#[derive(Clone, Debug)]
pub struct RequestHead {
    /// The fields, without `Host`, which is [`RequestHead::authority`].
    pub fields: Fields,
    method: Method,
    method_name: Vec<u8>,
    target: Vec<u8>,
    path_len: usize,
    authority: Vec<u8>,
    /// Bytes of the host in the authority, without the dot of a fully qualified name.
    host_len: usize,
    port: Option<u16>,
    protocol: Vec<u8>,
    scheme: Scheme,
    version: Version,
}

/// A response head.
#[derive(Clone, Debug)]
pub struct ResponseHead {
    /// The fields.
    pub fields: Fields,
    status: u16,
    version: Version,
    reason: Vec<u8>,
}

// === impl RequestHead ===

impl RequestHead {
    /// An empty head (`GET`, no target) to parse into.
    pub const fn new() -> Self {
        Self {
            fields: Fields::new(),
            method: Method::Get,
            method_name: Vec::new(),
            target: Vec::new(),
            path_len: 0,
            authority: Vec::new(),
            host_len: 0,
            port: None,
            protocol: Vec::new(),
            scheme: Scheme::Http,
            version: Version::Http11,
        }
    }

    /// Makes the head empty again and keeps its memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.method = Method::Get;
        self.method_name.clear();
        self.target.clear();
        self.path_len = 0;
        self.authority.clear();
        self.host_len = 0;
        self.port = None;
        self.protocol.clear();
        self.scheme = Scheme::Http;
        self.version = Version::Http11;
    }

    /// The method.
    #[inline]
    pub const fn method(&self) -> Method {
        self.method
    }

    /// The method's name as it will be forwarded.
    #[inline]
    pub fn method_bytes(&self) -> &[u8] {
        self.method.name().unwrap_or(&self.method_name)
    }

    /// Path and query exactly as they will be forwarded: `/...`, `*` for OPTIONS, empty for CONNECT.
    #[inline]
    pub fn target(&self) -> &[u8] {
        &self.target
    }

    /// The target without its query.
    #[inline]
    pub fn path(&self) -> &[u8] {
        self.target.get(..self.path_len).unwrap_or(&self.target)
    }

    /// What follows the first `?` of the target, if there is one.
    #[inline]
    pub fn query(&self) -> Option<&[u8]> {
        self.target.get(self.path_len.saturating_add(1)..)
    }

    /// Host and, if given, port, in lower case; empty only for HTTP/1.0 without `Host`.
    #[inline]
    pub fn authority(&self) -> &[u8] {
        &self.authority
    }

    /// The authority's host without port and without the dot of a fully qualified name.
    #[inline]
    pub fn host(&self) -> &[u8] {
        self.authority.get(..self.host_len).unwrap_or_default()
    }

    /// The authority's port, if it names one.
    #[inline]
    pub const fn port(&self) -> Option<u16> {
        self.port
    }

    /// The scheme: of an absolute target or of HTTP/2, else what the listener has set.
    #[inline]
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The version that the request came with.
    #[inline]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Protocol of an extended CONNECT. Source: RFC 8441 §4.
    pub fn protocol(&self) -> Option<&[u8]> {
        (!self.protocol.is_empty()).then_some(self.protocol.as_slice())
    }

    /// Replaces the method.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadMethod`] when `name` is no token or longer than 32 bytes; nothing has changed.
    pub fn set_method(&mut self, name: &[u8]) -> Result<(), Rejected> {
        if !scan::is_token(name) || name.len() > METHOD_BYTES {
            return Err(Rejected::BadMethod);
        }
        self.set_checked_method(name);
        Ok(())
    }

    /// Replaces path and query.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadTarget`] when `target` neither starts with `/` nor is `*`, or has a byte
    /// that cannot stand in a target; nothing has changed.
    pub fn set_target(&mut self, target: &[u8]) -> Result<(), Rejected> {
        let formed = target.first() == Some(&b'/') || target == b"*";
        if !formed || scan::target_len(target) != target.len() {
            return Err(Rejected::BadTarget);
        }
        self.set_checked_target(target);
        Ok(())
    }

    /// Replaces the authority; it is kept in lower case.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadAuthority`] or [`Rejected::UserInfo`]; nothing has changed.
    pub fn set_authority(&mut self, authority: &[u8]) -> Result<(), Rejected> {
        let parts = Authority::parse(authority)?;
        self.set_checked_authority(authority, &parts);
        Ok(())
    }

    /// Replaces the scheme.
    pub const fn set_scheme(&mut self, scheme: Scheme) {
        self.scheme = scheme;
    }

    /// Replaces the version.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    /// Makes this an extended CONNECT for `protocol`, or an ordinary request for an empty one.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadPseudoField`] when `protocol` is not a token; nothing has changed.
    pub fn set_protocol(&mut self, protocol: &[u8]) -> Result<(), Rejected> {
        if !protocol.is_empty() && !scan::is_token(protocol) {
            return Err(Rejected::BadPseudoField);
        }
        self.protocol.clear();
        self.protocol.extend_from_slice(protocol);
        Ok(())
    }

    #[inline]
    pub(crate) fn set_checked_method(&mut self, name: &[u8]) {
        self.method = Method::find(name);
        self.method_name.clear();
        if self.method == Method::Other {
            self.method_name.extend_from_slice(name);
        }
    }

    #[inline]
    pub(crate) fn set_checked_target(&mut self, target: &[u8]) {
        self.path_len = memchr::memchr(b'?', target).unwrap_or(target.len());
        self.target.clear();
        self.target.extend_from_slice(target);
    }

    /// As [`Self::set_checked_target`] for a target that begins with its query.
    pub(crate) fn set_checked_query(&mut self, from_mark: &[u8]) {
        self.path_len = 1;
        self.target.clear();
        self.target.push(b'/');
        self.target.extend_from_slice(from_mark);
    }

    #[inline]
    pub(crate) fn set_checked_authority(&mut self, authority: &[u8], parts: &Authority<'_>) {
        self.host_len = parts.host.strip_suffix(b".").unwrap_or(parts.host).len();
        self.port = parts.port;
        self.authority.clear();
        self.authority.extend_from_slice(authority);
        self.authority.make_ascii_lowercase();
    }
}

impl Default for RequestHead {
    fn default() -> Self {
        Self::new()
    }
}

// === impl ResponseHead ===

impl ResponseHead {
    /// An empty head (200, HTTP/1.1) to parse into.
    pub const fn new() -> Self {
        Self { fields: Fields::new(), status: 200, version: Version::Http11, reason: Vec::new() }
    }

    /// Makes the head empty again and keeps its memory.
    pub fn clear(&mut self) {
        self.fields.clear();
        self.status = 200;
        self.version = Version::Http11;
        self.reason.clear();
    }

    /// The status, 100 to 999.
    #[inline]
    pub const fn status(&self) -> u16 {
        self.status
    }

    /// The version that the response came with.
    #[inline]
    pub const fn version(&self) -> Version {
        self.version
    }

    /// The reason phrase as it came, else the registered one of the status, else nothing.
    pub fn reason(&self) -> &[u8] {
        if !self.reason.is_empty() {
            return &self.reason;
        }
        let code = http::StatusCode::from_u16(self.status).ok();
        code.and_then(|code| code.canonical_reason()).unwrap_or_default().as_bytes()
    }

    /// Replaces the status and forgets the reason phrase.
    ///
    /// # Errors
    ///
    /// [`Rejected::BadStatusLine`] when `status` is not between 100 and 999; nothing has changed.
    pub fn set_status(&mut self, status: u16) -> Result<(), Rejected> {
        if !(100..=999).contains(&status) {
            return Err(Rejected::BadStatusLine);
        }
        self.status = status;
        self.reason.clear();
        Ok(())
    }

    /// Replaces the version.
    pub const fn set_version(&mut self, version: Version) {
        self.version = version;
    }

    pub(crate) fn set_checked_reason(&mut self, reason: &[u8]) {
        self.reason.clear();
        self.reason.extend_from_slice(reason);
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

// === impl Method ===

impl Method {
    /// The method that `name` spells, or [`Method::Other`].
    #[inline]
    pub fn find(name: &[u8]) -> Self {
        match name {
            b"GET" => Self::Get,
            b"POST" => Self::Post,
            b"HEAD" => Self::Head,
            b"PUT" => Self::Put,
            b"DELETE" => Self::Delete,
            b"CONNECT" => Self::Connect,
            b"OPTIONS" => Self::Options,
            b"TRACE" => Self::Trace,
            b"PATCH" => Self::Patch,
            _ => Self::Other,
        }
    }

    /// The method's name; none for [`Method::Other`].
    #[inline]
    pub const fn name(self) -> Option<&'static [u8]> {
        match self {
            Self::Get => Some(b"GET"),
            Self::Head => Some(b"HEAD"),
            Self::Post => Some(b"POST"),
            Self::Put => Some(b"PUT"),
            Self::Delete => Some(b"DELETE"),
            Self::Connect => Some(b"CONNECT"),
            Self::Options => Some(b"OPTIONS"),
            Self::Trace => Some(b"TRACE"),
            Self::Patch => Some(b"PATCH"),
            Self::Other => None,
        }
    }

    /// Whether the request asks for no change. Source: RFC 9110 §9.2.1.
    pub const fn is_safe(self) -> bool {
        match self {
            Self::Get | Self::Head | Self::Options | Self::Trace => true,
            Self::Post | Self::Put | Self::Delete | Self::Connect | Self::Patch | Self::Other => {
                false
            }
        }
    }

    /// Whether doing it twice is as doing it once. Source: RFC 9110 §9.2.2.
    pub const fn is_idempotent(self) -> bool {
        match self {
            Self::Put | Self::Delete => true,
            Self::Get
            | Self::Head
            | Self::Options
            | Self::Trace
            | Self::Post
            | Self::Connect
            | Self::Patch
            | Self::Other => self.is_safe(),
        }
    }
}

// === impl Scheme, Version ===

impl Scheme {
    /// `http` or `https`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// Port of an authority that names none. Source: RFC 9110 §4.2.1, §4.2.2.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl Version {
    /// `HTTP/1.0`, `HTTP/1.1` or `HTTP/2`, as access logs and telemetry write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http10 => "HTTP/1.0",
            Self::Http11 => "HTTP/1.1",
            Self::Http2 => "HTTP/2",
        }
    }
}

#[cfg(test)]
mod tests;
