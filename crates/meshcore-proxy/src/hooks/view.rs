//! What a hook can see of a request.

use std::net::IpAddr;

use meshcore_http::{RequestHead, ResponseHead, Version};
use meshcore_model::{Attribute, Hook, Identity};

/// A request, and in its stage the response, while a hook is called. Nothing is copied.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// Head of the request.
    pub request: &'a RequestHead,
    /// Head of the response, for `on_response`.
    pub response: Option<&'a ResponseHead>,
    /// Identity of the peer.
    pub identity: Option<&'a Identity>,
    /// Address of the peer.
    pub address: IpAddr,
    /// Port the request was sent to.
    pub port: u16,
    /// Name of the rule; empty before routing.
    pub route: &'a str,
}

impl View<'_> {
    /// Shows `see` the value of an attribute; `None` when the request has none. Several fields
    /// of one name are joined with `, `.
    pub fn read<T>(&self, attribute: &Attribute, see: impl FnOnce(Option<&[u8]>) -> T) -> T {
        let mut digits = itoa::Buffer::new();
        match attribute {
            Attribute::Method => see(Some(self.request.method_bytes())),
            Attribute::Path => see(Some(self.request.path())),
            Attribute::Query => see(self.request.query()),
            Attribute::Host => see(Some(self.request.authority())),
            Attribute::Scheme => see(Some(self.request.scheme().name().as_bytes())),
            Attribute::Protocol => see(Some(protocol(self.request.version()))),
            Attribute::Header(name) => {
                see_field(self.request.fields.values_named(name.as_bytes()), see)
            }
            Attribute::SourcePrincipal => see(self.identity.map(|id| id.as_str().as_bytes())),
            Attribute::SourceNamespace => see(self.identity.map(|id| id.namespace().as_bytes())),
            Attribute::SourceIp => see(Some(self.address.to_string().as_bytes())),
            Attribute::DestinationPort => see(Some(digits.format(self.port).as_bytes())),
            Attribute::Mtls => see(Some(if self.identity.is_some() { b"true" } else { b"false" })),
            Attribute::RouteName => see(Some(self.route.as_bytes())),
            Attribute::ResponseCode => match self.response {
                Some(response) => see(Some(digits.format(response.status()).as_bytes())),
                None => see(None),
            },
            Attribute::ResponseHeader(name) => match self.response {
                Some(response) => see_field(response.fields.values_named(name.as_bytes()), see),
                None => see(None),
            },
        }
    }

    /// A copy of what `hook` may read, for a call on another thread.
    pub fn facts(&self, hook: &Hook) -> Facts {
        let mut facts = Facts::default();
        match &hook.reads {
            Some(reads) => reads.iter().for_each(|attribute| facts.add(self, attribute.clone())),
            None => self.add_all(&mut facts),
        }
        facts
    }

    fn add_all(&self, facts: &mut Facts) {
        for attribute in [
            Attribute::Method,
            Attribute::Path,
            Attribute::Query,
            Attribute::Host,
            Attribute::Scheme,
            Attribute::Protocol,
            Attribute::SourcePrincipal,
            Attribute::SourceNamespace,
            Attribute::SourceIp,
            Attribute::DestinationPort,
            Attribute::Mtls,
            Attribute::RouteName,
        ] {
            facts.add(self, attribute);
        }
        for (name, value, _) in self.request.fields.iter() {
            let name = String::from_utf8_lossy(name).to_ascii_lowercase();
            facts.append(Attribute::Header(name), value);
        }
        if let Some(response) = self.response {
            facts.add(self, Attribute::ResponseCode);
            for (name, value, _) in response.fields.iter() {
                let name = String::from_utf8_lossy(name).to_ascii_lowercase();
                facts.append(Attribute::ResponseHeader(name), value);
            }
        }
    }
}

const fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::Http10 => b"HTTP/1.0",
        Version::Http11 => b"HTTP/1.1",
        Version::Http2 => b"HTTP/2",
    }
}

fn see_field<'v, T>(
    mut values: impl Iterator<Item = &'v [u8]>,
    see: impl FnOnce(Option<&[u8]>) -> T,
) -> T {
    let Some(first) = values.next() else { return see(None) };
    let Some(second) = values.next() else { return see(Some(first)) };
    let mut joined = [first, second].join(&b", "[..]);
    for value in values {
        joined.extend_from_slice(b", ");
        joined.extend_from_slice(value);
    }
    see(Some(&joined))
}

/// A copy of what a hook may read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts(Vec<(Attribute, Option<Box<[u8]>>)>);

impl Facts {
    /// The value of an attribute. The outer `None` means that it was not copied, because the
    /// hook did not declare it.
    pub fn read(&self, attribute: &Attribute) -> Option<Option<&[u8]>> {
        let (_, value) = self.0.iter().find(|(known, _)| known == attribute)?;
        Some(value.as_deref())
    }

    /// All attributes that were copied.
    pub fn iter(&self) -> impl Iterator<Item = (&Attribute, Option<&[u8]>)> {
        self.0.iter().map(|(attribute, value)| (attribute, value.as_deref()))
    }

    fn add(&mut self, view: &View<'_>, attribute: Attribute) {
        let value = view.read(&attribute, |value| value.map(Box::from));
        self.0.push((attribute, value));
    }

    fn append(&mut self, attribute: Attribute, value: &[u8]) {
        let known = self.0.iter_mut().find(|(known, _)| *known == attribute);
        match known {
            Some((_, Some(joined))) => {
                *joined = [&**joined, value].join(&b", "[..]).into_boxed_slice();
            }
            Some((_, empty @ None)) => *empty = Some(value.into()),
            None => self.0.push((attribute, Some(value.into()))),
        }
    }
}

impl FromIterator<(Attribute, Option<Box<[u8]>>)> for Facts {
    fn from_iter<T: IntoIterator<Item = (Attribute, Option<Box<[u8]>>)>>(facts: T) -> Self {
        Self(facts.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(request: &RequestHead) -> View<'_> {
        View {
            request,
            response: None,
            identity: None,
            address: IpAddr::from([127, 0, 0, 1]),
            port: 9080,
            route: "r",
        }
    }

    #[test]
    fn attributes_are_read_where_they_are() {
        let mut request = RequestHead::new();
        request.set_method(b"GET").unwrap();
        request.set_target(b"/a?b=c").unwrap();
        request.fields.append(b"x-one", b"1").unwrap();
        request.fields.append(b"X-Two", b"a").unwrap();
        request.fields.append(b"x-two", b"b").unwrap();
        let view = view(&request);
        let text = |attribute: Attribute| {
            view.read(&attribute, |value| value.map(|v| String::from_utf8_lossy(v).into_owned()))
        };
        assert_eq!(text(Attribute::Path).as_deref(), Some("/a"));
        assert_eq!(text(Attribute::Query).as_deref(), Some("b=c"));
        assert_eq!(text(Attribute::Header("x-one".into())).as_deref(), Some("1"));
        assert_eq!(text(Attribute::Header("x-two".into())).as_deref(), Some("a, b"));
        assert_eq!(text(Attribute::Header("x-none".into())), None);
        assert_eq!(text(Attribute::SourcePrincipal), None);
        assert_eq!(text(Attribute::DestinationPort).as_deref(), Some("9080"));
        assert_eq!(text(Attribute::ResponseCode), None);
        assert_eq!(text(Attribute::Mtls).as_deref(), Some("false"));
    }
}
