# The relay in an image of its own: docker build -t sightline . (docs/installation.md).
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates make
WORKDIR /src
COPY . .
RUN make relay

FROM debian:12-slim
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates ffmpeg && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/sightline /usr/bin/sightline
# FFmpeg parses what cameras send: nobody's account, which owns no file.
USER 65534:65534
# Healthy if the relay answers at its default address. A relay with [tls] answers plain HTTP with 400. For another address:
# -e SIGHTLINE_HEALTH=192.0.2.7/8443. The image has no curl.
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["bash", "-c", "\
    exec 3<>/dev/tcp/${SIGHTLINE_HEALTH:-127.0.0.1/8080} && printf 'GET /healthz HTTP/1.0\\r\\n\\r\\n' >&3 && \
    read -r -t 4 _ status _ <&3 && [[ $status == 200 || $status == 400 ]]"]
ENTRYPOINT ["sightline"]
CMD ["--config", "/etc/sightline/sightline.toml"]
