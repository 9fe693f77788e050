# syntax=docker/dockerfile:1
# Switchboard in a container: the program, the libraries it needs, and nothing else. `docker build -t switchboard .`

FROM rust:1.95-bookworm AS build
WORKDIR /build
# What the program is made of; .dockerignore lets nothing else in.
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/build/target \
    cargo build --release --locked --bin switchboard \
    && strip --strip-debug -o /switchboard target/release/switchboard \
    && mkdir /data

# It has glibc and the certificates that vouch for upstreams, and no shell. Programs that connectors start (`git`, `npx`)
# are not in it: for those, build an image of your own that holds them and `COPY --from` this one's program.
FROM gcr.io/distroless/cc-debian12:nonroot
LABEL org.opencontainers.image.title="Switchboard" \
      org.opencontainers.image.description="Turns a folder of connector manifests into one MCP server" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0"
COPY --from=build /switchboard /usr/local/bin/switchboard
COPY manifests /etc/switchboard/manifests
# Whoever runs it may write here and nowhere else.
COPY --from=build --chown=65532:65532 /data /var/lib/switchboard
ENV HOST=0.0.0.0 \
    PORT=3026 \
    CONNECTORS_MANIFEST_PATH=/etc/switchboard/manifests \
    SWITCHBOARD_DATA_DIR=/var/lib/switchboard \
    LOG_FORMAT=json
VOLUME ["/var/lib/switchboard"]
EXPOSE 3026
# By number, so that Kubernetes sees that it is not root.
USER 65532:65532
HEALTHCHECK --interval=30s --timeout=6s --start-period=20s --retries=3 CMD ["/usr/local/bin/switchboard", "health"]
ENTRYPOINT ["/usr/local/bin/switchboard"]
CMD ["serve"]
