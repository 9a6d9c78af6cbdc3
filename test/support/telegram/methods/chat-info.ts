import type {
  ChatFullInfo,
  ChatMember,
  ChatMemberAdministrator,
  ChatPermissions,
  User,
} from '@grammyjs/types'
import type { ChatRecord, Member } from '../chats.ts'
import { badRequest } from '../errors.ts'
import type { Params } from '../params.ts'
import type { World } from '../world.ts'

export function getChat(world: World, params: Params): ChatFullInfo {
  const { chat } = world.chats.visible(params)
  const extra = {
    accent_color_id: 0,
    max_reaction_count: 11,
    accepted_gift_types: {
      unlimited_gifts: false,
      limited_gifts: false,
      unique_gifts: false,
      premium_subscription: false,
      gifts_from_channels: false,
    },
    ...(chat.type === 'private' ? {} : { permissions: ALL_PERMISSIONS }),
  }
  return { ...chat, ...extra } as ChatFullInfo
}

export function getChatMember(world: World, params: Params): ChatMember {
  const record = world.chats.visible(params)
  const userId = params.integer('user_id')
  if (userId <= 0) throw badRequest('invalid user_id specified')
  const user = world.chats.user(userId)
  if (!user) throw badRequest('PARTICIPANT_ID_INVALID')
  return memberOf(world, record, user)
}

export function getChatAdministrators(world: World, params: Params): ChatMember[] {
  const record = world.chats.visible(params)
  if (record.chat.type === 'private') {
    throw badRequest('there are no administrators in the private chat')
  }
  return [...record.members.keys()]
    .map((id) => world.chats.user(id))
    .filter((user) => user !== undefined)
    .map((user) => memberOf(world, record, user))
    .filter(({ status }) => status === 'administrator' || status === 'creator')
}

function memberOf(world: World, { chat, members }: ChatRecord, user: User): ChatMember {
  if (chat.type === 'private') {
    const belongs = user.id === chat.id || user.id === world.chats.bot.id
    return { status: belongs ? 'member' : 'left', user }
  }
  return asChatMember(user, members.get(user.id))
}

export function asChatMember(user: User, member: Member | undefined): ChatMember {
  switch (member?.status) {
    case 'creator':
      return { status: 'creator', user, is_anonymous: member.anonymous }
    case 'administrator':
      return administrator(user, member.anonymous)
    case 'member':
      return { status: 'member', user }
    case 'kicked':
      return { status: 'kicked', user, until_date: 0 }
    default:
      return { status: 'left', user }
  }
}

function administrator(user: User, anonymous: boolean): ChatMemberAdministrator {
  return {
    status: 'administrator',
    user,
    can_be_edited: false,
    is_anonymous: anonymous,
    can_manage_chat: true,
    can_delete_messages: true,
    can_manage_video_chats: true,
    can_restrict_members: true,
    can_promote_members: false,
    can_change_info: true,
    can_invite_users: true,
    can_post_stories: true,
    can_edit_stories: true,
    can_delete_stories: true,
    can_pin_messages: true,
    can_send_welcome_messages: true,
  }
}

const ALL_PERMISSIONS: ChatPermissions = {
  can_send_messages: true,
  can_send_audios: true,
  can_send_documents: true,
  can_send_photos: true,
  can_send_videos: true,
  can_send_video_notes: true,
  can_send_voice_notes: true,
  can_send_polls: true,
  can_send_other_messages: true,
  can_add_web_page_previews: true,
}
