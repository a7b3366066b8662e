//! Names of attributes, as plugin authors write them.

use meshcore_model::Attribute;

/// The name of an attribute, such as `request.headers[x-tenant]`.
pub(crate) fn name(attribute: &Attribute) -> String {
    match attribute {
        Attribute::Header(name) => format!("request.headers[{name}]"),
        Attribute::ResponseHeader(name) => format!("response.headers[{name}]"),
        Attribute::Method => "request.method".into(),
        Attribute::Path => "request.path".into(),
        Attribute::Query => "request.query".into(),
        Attribute::Host => "request.host".into(),
        Attribute::Scheme => "request.scheme".into(),
        Attribute::Protocol => "request.protocol".into(),
        Attribute::SourcePrincipal => "source.principal".into(),
        Attribute::SourceNamespace => "source.namespace".into(),
        Attribute::SourceIp => "source.ip".into(),
        Attribute::DestinationPort => "destination.port".into(),
        Attribute::Mtls => "connection.mtls".into(),
        Attribute::RouteName => "route.name".into(),
        Attribute::ResponseCode => "response.code".into(),
    }
}

/// The attribute of a name; `None` if there is none of that name.
pub(crate) fn parse(name: &str) -> Option<Attribute> {
    Some(match name {
        "request.method" => Attribute::Method,
        "request.path" => Attribute::Path,
        "request.query" => Attribute::Query,
        "request.host" => Attribute::Host,
        "request.scheme" => Attribute::Scheme,
        "request.protocol" => Attribute::Protocol,
        "source.principal" => Attribute::SourcePrincipal,
        "source.namespace" => Attribute::SourceNamespace,
        "source.ip" => Attribute::SourceIp,
        "destination.port" => Attribute::DestinationPort,
        "connection.mtls" => Attribute::Mtls,
        "route.name" => Attribute::RouteName,
        "response.code" => Attribute::ResponseCode,
        _ => {
            let (side, header) = name.strip_suffix(']')?.split_once(".headers[")?;
            let header = header.to_ascii_lowercase();
            match side {
                "request" if header == "host" => Attribute::Host,
                "request" => Attribute::Header(header),
                "response" => Attribute::ResponseHeader(header),
                _ => return None,
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_as_they_are_written() {
        for text in [
            "request.method",
            "request.headers[x-tenant]",
            "source.principal",
            "connection.mtls",
            "response.headers[server]",
        ] {
            assert_eq!(parse(text).map(|found| name(&found)).as_deref(), Some(text));
        }
        assert_eq!(parse("request.headers[X]"), Some(Attribute::Header("x".into())));
        assert_eq!(parse("request.headers[Host]"), Some(Attribute::Host));
        assert_eq!(parse("request.headers"), None);
        assert_eq!(parse("peer.headers[x]"), None);
    }
}
