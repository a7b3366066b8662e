//! Paths that are rewritten, and where redirects point to.

use meshcore_snapshot::{Authority, PathForm, Redirect, Rewrite};

use crate::request::Request;

/// The path that is forwarded; `None` when it stays. The query is not touched.
///
/// Source: Envoy's `prefix_rewrite` and `regex_rewrite` as Istio uses them: a prefix by bytes is
/// replaced by bytes, a rule without a path has the prefix `/`.
pub fn rewrite_path(rewrite: &Rewrite, form: PathForm, path: &[u8]) -> Option<Vec<u8>> {
    if let Some((regex, replacement)) = &rewrite.regex {
        let rewritten = regex.replace_all(path, &**replacement).into_owned();
        return Some(rooted(rewritten));
    }
    Some(replace(rewrite.path.as_ref()?, form, path))
}

/// The `Location` of a redirect, always absolute; the query is kept.
///
/// A port that is the default of its scheme is left out. Source: RFC 3986 section 6.2.3.
pub fn redirect_location<R: Request>(redirect: &Redirect, form: PathForm, request: &R) -> Vec<u8> {
    let scheme = redirect.scheme.as_deref().map_or(request.scheme(), str::as_bytes);
    let received = redirect.authority.as_deref().map_or(request.authority(), str::as_bytes);
    let mut location = Vec::with_capacity(128);
    location.extend_from_slice(scheme);
    location.extend_from_slice(b"://");
    if let Some(authority) = Authority::parse(received) {
        let is_v6 = authority.address().is_some_and(|address| address.is_ipv6());
        let (open, close): (&[u8], &[u8]) = if is_v6 { (b"[", b"]") } else { (b"", b"") };
        for part in [open, authority.host(), close] {
            location.extend_from_slice(part);
        }
        let port = redirected_port(redirect, request, &authority);
        if let Some(port) = port.filter(|port| Some(*port) != default_port(scheme)) {
            location.push(b':');
            location.extend_from_slice(port.to_string().as_bytes());
        }
    }
    location.extend_from_slice(&redirected_path(redirect, form, request.path()));
    let has_query = redirect.path.as_ref().is_some_and(|path| path.contains('?'));
    if let Some(query) = request.query().filter(|_| !has_query) {
        location.push(b'?');
        location.extend_from_slice(query);
    }
    location
}

/// The redirect's own port; else that of its own authority; else the client's, unless the
/// scheme changes and the port was the old scheme's default.
fn redirected_port<R: Request>(
    redirect: &Redirect,
    request: &R,
    authority: &Authority<'_>,
) -> Option<u16> {
    if redirect.port.is_some() {
        return redirect.port;
    }
    if redirect.default_port {
        return None;
    }
    if redirect.authority.is_some() {
        return authority.port();
    }
    let old_default = default_port(request.scheme());
    authority.port().filter(|named| redirect.scheme.is_none() || Some(*named) != old_default)
}

fn default_port(scheme: &[u8]) -> Option<u16> {
    match scheme {
        b"http" => Some(80),
        b"https" => Some(443),
        _ => None,
    }
}

fn redirected_path(redirect: &Redirect, form: PathForm, path: &[u8]) -> Vec<u8> {
    match (&redirect.path, &redirect.prefix) {
        (Some(whole), _) => rooted(whole.as_bytes().to_vec()),
        (None, Some(prefix)) => replace(prefix, form, path),
        (None, None) => rooted(path.to_vec()),
    }
}

/// Puts `new` in place of what was matched.
fn replace(new: &str, form: PathForm, path: &[u8]) -> Vec<u8> {
    let (new, matched) = match form {
        PathForm::Exact | PathForm::Regex => (new, path.len()),
        PathForm::Any => (new, 1),
        PathForm::Prefix(length) => (new, length),
        // What follows begins with a slash, or is nothing.
        PathForm::SegmentPrefix(length) => (new.strip_suffix('/').unwrap_or(new), length),
    };
    let rest = path.get(matched..).unwrap_or_default();
    rooted([new.as_bytes(), rest].concat())
}

/// A path begins with a slash, so that it cannot become part of the authority before it.
fn rooted(path: Vec<u8>) -> Vec<u8> {
    if path.first() == Some(&b'/') {
        return path;
    }
    [&b"/"[..], &path].concat()
}

#[cfg(test)]
#[expect(clippy::needless_pass_by_value, reason = "shorter tables of cases")]
mod tests;
