#include "config.h"

#include "replica/connector.h"

enum status connector_decode(const struct record *record, struct connector *out)
{
	if (record->kind != RECORD_CONNECTOR) {
		return CX_EFORMAT;
	}
	out->flags = record_flags(record);
	out->dn = record_first(record, TAG_DN);
	out->name = record_first(record, TAG_NAME);
	out->next_hop = record_first(record, TAG_NEXT_HOP);
	out->spaces = record_values(record, TAG_SPACE);
	out->peers = record_values(record, TAG_PEER);
	out->relay_clients = record_values(record, TAG_RELAY_CLIENT);
	out->relay_certificates = record_values(record, TAG_RELAY_CERTIFICATE);
	return CX_OK;
}
