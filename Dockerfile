# Dependencies of production only: no compiler, no test tools, no second Node.
FROM node:26-bookworm-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev && npm cache clean --force

FROM node:26-bookworm-slim
# Fewer malloc arenas: 2 and 11 % less memory in two runs, no slower.
ENV NODE_ENV=production MALLOC_ARENA_MAX=2
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY bin ./bin
COPY src ./src
COPY plugins ./plugins
COPY demo ./demo
# The only place that is written to: the store, the spools and the generated admin token.
RUN install -d -o node -g node -m 0700 /data
VOLUME /data
USER node
EXPOSE 8080 9901
# Asks the admin port where it listens by default; set MIRRORGATE_HEALTH_URL when the configuration moves it.
HEALTHCHECK --interval=10s --timeout=3s --start-period=15s --retries=3 \
  CMD ["node", "-e", "fetch(process.env.MIRRORGATE_HEALTH_URL ?? 'http://127.0.0.1:9901/healthz').then((answer) => process.exit(answer.ok ? 0 : 1), () => process.exit(1))"]
# node itself, so that SIGTERM and SIGHUP reach it.
ENTRYPOINT ["node", "bin/mirrorgate.js"]
CMD ["start", "--config", "/etc/mirrorgate/gateway.yaml"]
