# syntax=docker/dockerfile:1
# Loopgate. Node runs the TypeScript as it is: there is nothing to build.

FROM node:24-slim AS dependencies
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`: it refuses a lock file without the optional packages of platforms that only developers
# have. The versions are those of the lock file all the same.
RUN npm install --omit=dev --no-audit --no-fund

FROM node:24-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=dependencies /app/node_modules ./node_modules
COPY package.json LICENSE ./
COPY migrations ./migrations
COPY client ./client
COPY src ./src

# Outside the container it can only be reached on all addresses. With that, agents need a key
# (AUTH=required), unless the port is reached otherwise.
ENV HOST=0.0.0.0 SERVER_PORT=8080 LOOPGATE_DATA_DIR=/data
RUN mkdir /data && chown node:node /data
VOLUME /data
USER node
EXPOSE 8080

# The process drains on it (SHUTDOWN_GRACE); give `docker stop` a little more time than that.
STOPSIGNAL SIGTERM
# Whether the process turns. A database that is away shows in /readyz, and a restart would not help.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s --retries=3 \
  CMD ["node", "-e", "fetch(`http://127.0.0.1:${process.env.SERVER_PORT}/livez`).then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
# No shell in between: signals reach Node.
CMD ["node", "--max-semi-space-size=8", "src/main.ts"]
