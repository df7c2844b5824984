# The program alone, for `collect`, `process` and the commands. The embedded ClickHouse is not in it: stores are reached by URL.
FROM rust:1.95.0-bookworm AS build
WORKDIR /build
COPY Cargo.toml Cargo.lock rust-toolchain.toml ./
COPY services services
COPY schemas schemas
# perl, make and a C compiler, which librdkafka and its OpenSSL need, are in the image.
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/build/target \
    cargo build --locked --release -p tokentrail && cp target/release/tokentrail /usr/local/bin/tokentrail
RUN mkdir -p /rootfs/var/lib/tokentrail

FROM debian:bookworm-slim
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build --chmod=755 /usr/local/bin/tokentrail /usr/local/bin/tokentrail
# A new volume takes this folder's owner over.
COPY --from=build --chown=10001:10001 /rootfs/var/lib/tokentrail /var/lib/tokentrail
USER 10001:10001
ENV TOKENTRAIL_CONFIG=/etc/tokentrail/tokentrail.toml
WORKDIR /var/lib/tokentrail
VOLUME /var/lib/tokentrail
EXPOSE 8480 8481
HEALTHCHECK --interval=10s --timeout=6s --start-period=60s CMD ["tokentrail", "health"]
ENTRYPOINT ["tokentrail"]
CMD ["--help"]
