# Keycloak with the webhook plugin that the tests run, proven by the same digest.
FROM maven:3.9.11-eclipse-temurin-21 AS plugin
RUN mvn -q dependency:copy -Dartifact=io.phasetwo.keycloak:keycloak-events:0.59:jar -DoutputDirectory=/plugin \
    && echo "24900f3eb2ac481455766b9f68074e0ce3924c9b41a382dfc38797bc4954a17d  /plugin/keycloak-events-0.59.jar" | sha256sum -c -

FROM keycloak/keycloak:26.7.4
COPY --from=plugin --chown=1000:0 /plugin/keycloak-events-0.59.jar /opt/keycloak/providers/
ENV KC_DB=postgres KC_HEALTH_ENABLED=true
# A new volume takes the owner of the folder that it covers over: without one the demo's database would belong to root.
RUN /opt/keycloak/bin/kc.sh build && mkdir -p /opt/keycloak/data/h2
